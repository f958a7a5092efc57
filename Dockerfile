# Reeve in a container. `scripts/container-steps.ts` carries these very lines out without a container engine, as a user who is
# not root; keep to the instructions and forms that it knows.

FROM node:24.21.0-slim AS packages
WORKDIR /reeve
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --ignore-scripts
# Of the optional packages the native verifier stays; copies of Node are for machines that have none, and the image has its own.
RUN rm -rf node_modules/node-linux-* node_modules/node-bin-* node_modules/.bin/node
RUN mkdir -m 0700 data

FROM node:24.21.0-slim
ENV NODE_ENV=production
# In a container only what is published can be reached. Started without REEVE_PUBLIC_URL this is refused: development is for
# one machine alone.
ENV REEVE_HOST=0.0.0.0
ENV REEVE_DATA_DIR=/data
# What runs belongs to root, so that the service cannot change itself.
WORKDIR /reeve
COPY package.json LICENSE ./
COPY --from=packages /reeve/node_modules ./node_modules
COPY migrations ./migrations
COPY policies ./policies
COPY src ./src
# The one place that the service may write to.
COPY --from=packages --chown=node:node /reeve/data /data
USER node
VOLUME /data
EXPOSE 3400
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.REEVE_PORT || 3400}/xrpc/_health`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "--disable-sigusr1", "--report-exclude-env", "src/main.ts"]
