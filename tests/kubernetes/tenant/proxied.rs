//! A namespace whose jobs meet a proxy before the store, which fails as a test tells it to.

use std::net::{IpAddr, SocketAddr};

use super::{MACHINE, STORE_PORT, Tenant, store_address};
use crate::s3_proxy::S3Proxy;

impl Tenant {
    /// Makes a namespace with a Secret `store-keys` that leads to the proxy. What the test itself puts and gets does not pass it.
    pub async fn behind_proxy(name: &str) -> (Self, S3Proxy) {
        let mut tenant = Self::without_keys(name).await;
        let address: IpAddr = store_address(&tenant.client).await.parse().expect("an IP address");
        let store = SocketAddr::from((address, STORE_PORT));
        // Nobody asks for the store's files here.
        let proxy = S3Proxy::listen((MACHINE, 0).into(), store, store).await;
        tenant.endpoint = proxy.url();
        tenant.create_keys("store-keys", "demo-secret").await;
        (tenant, proxy)
    }
}
