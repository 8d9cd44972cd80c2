//! The one integration-test binary: every suite is a module, so that DataFusion is linked once.

mod crash;
mod quickstart;
mod scene;
mod services;
mod state;
mod tidy;
mod files;
mod lake;
mod postgres;
mod ui;
