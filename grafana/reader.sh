#!/bin/sh
# Makes the user by whom Grafana reads PostgreSQL: it may read files_log, and nothing else. See compose.yaml.
set -eu
PGPASSWORD=$(cat /run/secrets/postgres_password)
export PGPASSWORD
# The server makes the table, a moment after it began to answer.
until [ "$(psql -Atc "SELECT to_regclass('files_log') IS NOT NULL")" = t ]; do sleep 1; done
psql -v ON_ERROR_STOP=1 -q <<'END'
\set password `cat /run/secrets/reader_password`
SELECT 'CREATE ROLE grafana' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'grafana') \gexec
ALTER ROLE grafana LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE CONNECTION LIMIT 20 PASSWORD :'password';
ALTER ROLE grafana SET default_transaction_read_only = on;
ALTER ROLE grafana SET statement_timeout = '30s';
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM grafana;
REVOKE TEMPORARY ON DATABASE syncdb FROM PUBLIC;
GRANT SELECT ON files_log TO grafana;
END
