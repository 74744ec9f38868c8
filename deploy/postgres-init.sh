#!/bin/bash
# Runs once, when PostgreSQL's data directory is empty: makes the database and the login that serves from it.
# The login is no superuser, or the walls between tenants would not hold for it. It makes a role for every tenant,
# hence CREATEROLE; and it owns the database, hence it may create schemas.
set -euo pipefail

psql --set ON_ERROR_STOP=1 --set password="$DATABASE_PASSWORD" --username postgres --dbname postgres <<'SQL'
CREATE ROLE croft LOGIN NOINHERIT CREATEROLE PASSWORD :'password';
CREATE DATABASE croft OWNER croft ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE croft FROM PUBLIC;
SQL
