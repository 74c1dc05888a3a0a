//! Topics, configurations and groups through the admin API.
