#!/bin/sh
# Makes Caxton's own database beside Temporal's, when the PostgreSQL volume is new.
set -eu
psql -v ON_ERROR_STOP=1 -v password="$CAXTON_DB_PASSWORD" --username "$POSTGRES_USER" --dbname postgres <<'SQL'
CREATE ROLE caxton LOGIN PASSWORD :'password';
CREATE DATABASE caxton OWNER caxton;
SQL
