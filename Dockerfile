# Gyre without a JDK or Maven on the host:
#
#   docker build -t gyre .
#   docker run --rm -v "$PWD:/work" gyre quickstart
#
# The image is what `gyre bundle` packs: the jar, a small runtime and the shipped model. CPU only; `report --png` needs a
# desktop runtime and is not in it.
FROM eclipse-temurin:25-jdk AS build
# A Maven repository to fetch Maven from, where its own archive is out of reach: see mvnw.
ARG MVNW_REPOURL=
# strip, for a smaller runtime
RUN apt-get update && apt-get install -y --no-install-recommends binutils && rm -rf /var/lib/apt/lists/*
COPY . /src
RUN /src/gyre bundle --out /tmp/gyre.tar.gz && tar -xzf /tmp/gyre.tar.gz -C /opt

FROM ubuntu:24.04
COPY --from=build /opt/gyre /opt/gyre
RUN ln -s /opt/gyre/gyre /usr/local/bin/gyre
WORKDIR /work
ENTRYPOINT ["gyre"]
CMD ["--help"]
