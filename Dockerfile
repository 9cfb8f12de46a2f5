# One image for every part: `caxton serve`, `caxton api`, `caxton worker`.
FROM python:3.11-slim AS build
WORKDIR /src
RUN pip install --no-cache-dir "uv>=0.9,<1"
COPY pyproject.toml uv.lock README.md LICENSE CHANGELOG.md ./
COPY scripts/hatch_model.py ./scripts/
COPY caxton_minilm ./caxton_minilm
COPY caxton ./caxton
RUN uv sync --frozen --no-dev --no-editable --extra memory --extra postgres --compile-bytecode

FROM python:3.11-slim
RUN useradd --create-home --uid 10001 caxton && mkdir -p /var/lib/caxton && chown caxton:caxton /var/lib/caxton
COPY --from=build /src/.venv /src/.venv
ENV PATH=/src/.venv/bin:$PATH \
    CAXTON_DATA_DIR=/var/lib/caxton \
    CAXTON_HOST=0.0.0.0 \
    CAXTON_METRICS_HOST=0.0.0.0 \
    PYTHONUNBUFFERED=1
USER caxton
VOLUME /var/lib/caxton
EXPOSE 8080 9090
HEALTHCHECK --interval=30s --timeout=10s --retries=3 CMD ["caxton", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["caxton"]
CMD ["serve"]
