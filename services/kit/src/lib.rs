//! What every Evenkeel service is built from: configuration, telemetry, servers, channels, identity.
