# pfgmd with its bundled model. docker build -t pfgmd . && docker run --rm -p 127.0.0.1:8080:8080 pfgmd
FROM debian:bookworm-slim AS build
WORKDIR /src
COPY conf/deps.sh conf/deps.sh
RUN bash conf/deps.sh build
COPY . .
RUN meson setup build --prefix=/usr -Dtests=false && ninja -C build && DESTDIR=/out ninja -C build install

FROM debian:bookworm-slim
# tests/container.sh holds this to what "pfgmd --version" says.
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="pfgmd" \
      org.opencontainers.image.description="Images from Poisson Flow Generative Models over HTTP" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.licenses="Apache-2.0 AND MIT AND CC-BY-4.0"
COPY conf/deps.sh /tmp/deps.sh
RUN bash /tmp/deps.sh run && rm -rf /tmp/deps.sh /var/lib/apt/lists/* /var/cache/* /var/log/*
COPY --from=build /out/usr/bin/pfgmd /out/usr/bin/pfgm /usr/bin/
# Which of the models is served stands in the settings alone, here as in an installation.
COPY --from=build /out/etc/pfgmd/pfgmd.conf /etc/pfgmd/pfgmd.conf
COPY conf/models/ /usr/share/pfgmd/models/
# Jobs are kept here. Give the volume a name, and they outlive the container (docs/operation.md).
RUN install -d -o 65532 -g 65532 -m 0700 /var/lib/pfgmd
VOLUME /var/lib/pfgmd
USER 65532:65532
EXPOSE 8080
# The container's network is its own; which address of the host it is published on is the host's to decide.
# Variables, so that they also hold with settings or flags of one's own.
ENV PFGMD_LISTEN=0.0.0.0:8080 PFGMD_STATE=/var/lib/pfgmd/jobs
ENTRYPOINT ["/usr/bin/pfgmd"]
CMD ["--config", "/etc/pfgmd/pfgmd.conf"]
HEALTHCHECK --interval=10s --timeout=2s --start-period=20s CMD ["/usr/bin/pfgmd", "--health", "127.0.0.1:8080"]
