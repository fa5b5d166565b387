# The image that compose.yaml runs as server and as client: the binary, its C library, nothing else.
FROM docker.io/oven/bun:1.4.5 AS build
WORKDIR /build
COPY package.json bun.lock bunfig.toml ./
RUN bun install --frozen-lockfile --production --ignore-scripts --silent
COPY . .
RUN bun .ci/build.ts

# Libraries go where the binary looks for them, whatever this machine's architecture.
RUN mkdir -p /image/usr/local/bin /image/etc /image/tmp /volumes/data /volumes/storage /volumes/synced \
  && chmod 1777 /image/tmp \
  && cp dist/synced /image/usr/local/bin/synced \
  && ldd dist/synced | grep -o '/[^ )]*' | sort -u | xargs -I{} cp --parents -L {} /image \
  && echo 'synced:x:1000:1000:synced:/:/usr/local/bin/synced' > /image/etc/passwd \
  && echo 'synced:x:1000:' > /image/etc/group

FROM scratch
COPY --from=build /image /
# Volumes that are made anew take their owner from here.
COPY --from=build --chown=1000:1000 /volumes /
ENV PATH=/usr/local/bin
# A container that starts again has another address; without this it would be looked for at the old one for 30 s.
ENV BUN_CONFIG_DNS_TIME_TO_LIVE_SECONDS=2
USER 1000:1000
EXPOSE 8080
VOLUME /data
ENTRYPOINT ["/usr/local/bin/synced"]
CMD ["serve", "--data", "/data", "--host", "0.0.0.0"]
# The server has a key of its own here. A client sets SYNCED_URL to where its metrics are.
ENV SYNCED_URL=https://127.0.0.1:8080
HEALTHCHECK --interval=5s --timeout=6s --start-period=60s --retries=3 \
  CMD ["/usr/local/bin/synced", "healthcheck"]
