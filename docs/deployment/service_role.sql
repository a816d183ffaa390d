-- Creates or updates a role that can read and write the rows of the service's tables, and nothing else.
--
-- Run it with psql as the owner of the tables, after `alembic upgrade head`. Tables of later
-- migrations are included if the same owner creates them.
--
--     ROLE_NAME=taskapi_service ROLE_PASSWORD=… psql --file service_role.sql taskapi
\set ON_ERROR_STOP on
\getenv name ROLE_NAME
\getenv password ROLE_PASSWORD

BEGIN;
SELECT format('CREATE ROLE %I', :'name')
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'name') \gexec
ALTER ROLE :"name" LOGIN PASSWORD :'password';

REVOKE CREATE, TEMPORARY ON DATABASE :"DBNAME" FROM PUBLIC;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;

GRANT CONNECT ON DATABASE :"DBNAME" TO :"name";
GRANT USAGE ON SCHEMA public TO :"name";
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO :"name";
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO :"name";
REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM :"name";

ALTER DEFAULT PRIVILEGES IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO :"name";
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO :"name";
COMMIT;
