# Slim, non-root, read-only root: the state is a volume. pip builds three pure-Python sdists (authres, dkimpy, pyspf) and this package, and
# fetches setuptools and hatchling for that by itself, so no compiler is needed and the build needs the index once.
FROM python:3.13-slim-bookworm AS build
WORKDIR /src
COPY requirements.lock pyproject.toml README.md ./
RUN python -m venv /opt/sealgate && /opt/sealgate/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY gateway gateway
COPY policies policies
COPY scanners scanners
COPY audit audit
RUN /opt/sealgate/bin/pip install --no-cache-dir --no-deps .

FROM python:3.13-slim-bookworm
RUN apt-get update && apt-get install -y --no-install-recommends libarchive13 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --create-home --home-dir /var/lib/sealgate --shell /usr/sbin/nologin sealgate
COPY --from=build /opt/sealgate /opt/sealgate
ENV PATH=/opt/sealgate/bin:$PATH PYTHONUTF8=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
WORKDIR /var/lib/sealgate
VOLUME /var/lib/sealgate
EXPOSE 2525 2526 8080
# The port is that of [console] bind.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/readyz', timeout=4)"]
# TERM to the first process, which stops the others in order.
STOPSIGNAL SIGTERM
ENTRYPOINT ["sealgate"]
CMD ["serve", "--config", "/etc/sealgate/sealgate.toml"]
