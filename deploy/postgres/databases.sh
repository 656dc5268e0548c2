#!/bin/sh
# A database and a role per service, and no way from one service to another's database. Run by the PostgreSQL image
# on an empty data directory, and by cluster.py; running it again changes only the passwords.
#
# POSTGRES_USER names the superuser; CASE_DATABASE_PASSWORD and so on the passwords of the roles.
set -eu

run() { psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres "$@"; }

for service in case review notification reporting; do
  variable=$(echo "$service" | tr '[:lower:]' '[:upper:]')_DATABASE_PASSWORD
  eval "password=\${$variable:?set $variable}"
  run --set name="$service" --set password="$password" <<'SQL'
select format('create role %I', :'name') where not exists (select from pg_roles where rolname = :'name') \gexec
alter role :"name" login nosuperuser nocreatedb nocreaterole noreplication password :'password';
select format('create database %I owner %I', :'name', :'name')
 where not exists (select from pg_database where datname = :'name') \gexec
revoke all on database :"name" from public;
SQL
done

run <<'SQL'
revoke connect, temporary on database postgres, template1 from public;
SQL
