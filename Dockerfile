# pfgmd with its bundled model. docker build -t pfgmd . && docker run --rm -p 127.0.0.1:8080:8080 pfgmd
FROM debian:bookworm-slim AS build
WORKDIR /src
COPY conf/deps.sh conf/deps.sh
RUN bash conf/deps.sh build
COPY . .
RUN meson setup build --prefix=/usr -Dtests=false && ninja -C build && DESTDIR=/out ninja -C build install

FROM debian:bookworm-slim
COPY conf/deps.sh /tmp/deps.sh
RUN bash /tmp/deps.sh run && rm -rf /tmp/deps.sh /var/lib/apt/lists/*
COPY --from=build /out/usr/bin/pfgmd /out/usr/bin/pfgm /usr/bin/
COPY conf/models/fashion28.safetensors conf/models/README.md /usr/share/pfgmd/models/
USER 65532:65532
EXPOSE 8080
# The container's network is its own; which address of the host it is published on is the host's to decide.
ENTRYPOINT ["/usr/bin/pfgmd"]
CMD ["--model", "/usr/share/pfgmd/models/fashion28.safetensors", "--listen", "0.0.0.0:8080"]
HEALTHCHECK --interval=10s --timeout=2s --start-period=20s CMD ["/usr/bin/pfgmd", "--health", "127.0.0.1:8080"]
