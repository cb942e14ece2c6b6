# The operator's image: one binary, controller and feeder alike. The build context is a folder with that binary.
# The base needs glibc and CA certificates.
ARG BASE=gcr.io/distroless/cc-debian12:nonroot
FROM ${BASE}
COPY batch-inference-operator /usr/local/bin/batch-inference-operator
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/batch-inference-operator"]
