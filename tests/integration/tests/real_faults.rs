//! Requests go on whatever becomes of the agents, the servers and the tokens of a real Consul; what is known is right again soon
//! after; and the log is no flood.

#[path = "real_faults/abandoned_watches.rs"]
mod abandoned_watches;
#[path = "real_faults/agents.rs"]
mod agents;
#[path = "real_faults/answers.rs"]
mod answers;
#[path = "real_faults/expiry.rs"]
mod expiry;
#[path = "real_faults/lost_agent.rs"]
mod lost_agent;
#[path = "real_faults/servers.rs"]
mod servers;
#[path = "real_faults/tokens.rs"]
mod tokens;
