//! The one integration-test binary: every suite is a module, so that DataFusion is linked once.

mod crash;
mod files;
mod lake;
mod postgres;
mod quickstart;
mod scene;
mod schemas;
mod services;
mod state;
mod tidy;
mod ui;
