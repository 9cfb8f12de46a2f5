"""The REST reference."""

import json
import re

from caxton.api import typescript
from caxton.api.reference import TARGET, description


def test_the_rest_reference_is_not_stale() -> None:
    assert TARGET.read_text() == description(), "run: make docs"


def test_the_types_for_typescript_are_not_stale() -> None:
    assert typescript.TARGET.read_text() == typescript.types(), "run: make docs"


def test_the_types_for_typescript_name_each_operation_and_all_that_they_refer_to() -> None:
    text, document = typescript.types(), json.loads(description())
    for path, item in document["paths"].items():
        for method in item:
            assert f'  "{method.upper()} {path}": {{\n' in text
    assert set(re.findall(r'Schemas\["(\w+)"\]', text)) <= set(document["components"]["schemas"])
    assert '  "POST /v1/messages": {\n    query: { wait?: boolean };\n' in text
    assert text.count("{") == text.count("}")
