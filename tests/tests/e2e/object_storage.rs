//! What is particular to objects in S3: who reads them over which way, who may, and what becomes of
//! everybody when the server is away. Everything else is the other tests' on that storage
//! (`GANTRY_TEST_STORAGE`).

mod fetching;
mod sharing;
mod straight;
