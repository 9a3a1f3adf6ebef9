//! The client against a real server, over real connections.

mod calls;
mod control_plane;
mod upload;
