# The operator's image: one binary, controller and feeder alike. The build context is a folder with that binary.
# The base needs glibc and CA certificates.
ARG BASE=gcr.io/distroless/cc-debian12:nonroot
FROM ${BASE}
COPY batch-inference-operator /usr/local/bin/batch-inference-operator
# What was freed goes back at once. Otherwise each thread keeps up to 4 MiB of it (mallopt(3), M_TRIM_THRESHOLD), in sum a quarter of
# what the feeder takes.
ENV MALLOC_TRIM_THRESHOLD_=131072
# One heap for all threads (M_ARENA_MAX). With one for each, the controller of two thousand jobs takes 129 MiB and not 83, the feeder 50 MiB and
# not 43; neither is slower with one (docs/benchmarks.md).
ENV MALLOC_ARENA_MAX=1
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/batch-inference-operator"]
