//! The compiled discovery chain of a service: routes, splits, targets (`/v1/discovery-chain/…`).
