# Toxiproxy from its Go module: one static program and nothing else, as in Shopify's own image.
FROM scratch
COPY toxiproxy /toxiproxy
USER 10001:10001
EXPOSE 8474
ENTRYPOINT ["/toxiproxy"]
CMD ["-host=0.0.0.0"]
