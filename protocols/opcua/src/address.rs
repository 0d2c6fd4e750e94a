//! Where a value lives in a server: a node id, its namespace by number or by URI.

use std::str::FromStr;

use async_opcua::types::{Identifier, NamespaceMap, NodeId};
use thiserror::Error;

/// A node as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeAddress {
    namespace: Namespace,
    identifier: Identifier,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Namespace {
    /// By number: right as long as the server does not renumber its namespaces.
    Index(u16),
    /// By URI, looked up at each connect.
    Uri(String),
}

/// A text that is no node id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "node `{text}`: expected a node id such as `ns=2;s=Main.Energy`, `nsu=urn:plc;i=1004` or `s=Main.Energy`"
)]
pub(crate) struct AddressError {
    text: String,
}

impl NodeAddress {
    /// Reads `ns=2;s=…`, `nsu=urn:…;s=…`, or a bare `s=…` that belongs to `namespace` (namespace 0 without one).
    ///
    /// # Source
    /// OPC 10000-6 §5.3.1.10 (`NodeId`) and §5.3.1.11 (`ExpandedNodeId`, with `%3B` and `%25` escaped in the URI).
    pub(crate) fn parse(text: &str, namespace: Option<&str>) -> Result<Self, AddressError> {
        let wrong = || AddressError { text: text.to_owned() };
        let (namespace, identifier) = if let Some(rest) = text.strip_prefix("ns=") {
            let (index, identifier) = rest.split_once(';').ok_or_else(wrong)?;
            (Namespace::Index(index.parse().map_err(|_| wrong())?), identifier)
        } else if let Some(rest) = text.strip_prefix("nsu=") {
            let (uri, identifier) = rest.split_once(';').ok_or_else(wrong)?;
            let uri = uri.replace("%3B", ";").replace("%3b", ";").replace("%25", "%");
            (Namespace::Uri(uri), identifier)
        } else {
            let namespace = namespace
                .map_or(Namespace::Index(0), |namespace| Namespace::Uri(namespace.to_owned()));
            (namespace, text)
        };
        // `Identifier::from_str` cuts after two bytes, so what stands there is checked first.
        let known = ["i=", "s=", "g=", "b="].iter().any(|kind| identifier.starts_with(kind));
        if !known || identifier.len() < 3 || namespace == Namespace::Uri(String::new()) {
            return Err(wrong());
        }
        let identifier = Identifier::from_str(identifier).map_err(|()| wrong())?;
        Ok(Self { namespace, identifier })
    }

    /// The URI that has to be looked up, if there is one.
    pub(crate) fn namespace_uri(&self) -> Option<&str> {
        match &self.namespace {
            Namespace::Index(_) => None,
            Namespace::Uri(uri) => Some(uri),
        }
    }

    /// The node id under a server's namespace table; `None` when the server does not know the namespace.
    pub(crate) fn resolve(&self, namespaces: &NamespaceMap) -> Option<NodeId> {
        let index = match &self.namespace {
            Namespace::Index(index) => *index,
            Namespace::Uri(uri) => namespaces.get_index(uri)?,
        };
        Some(NodeId::new(index, self.identifier.clone()))
    }
}

impl std::fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Namespace::Index(index) => write!(f, "ns={index};{}", self.identifier),
            Namespace::Uri(uri) => write!(f, "nsu={uri};{}", self.identifier),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_node_ids() {
        let check = |text: &str, namespace: Option<&str>, printed: &str| {
            assert_eq!(NodeAddress::parse(text, namespace).unwrap().to_string(), printed, "{text}");
        };
        check("ns=2;s=Main.Energy", None, "ns=2;s=Main.Energy");
        check("ns=2;s=a;b=c", Some("urn:other"), "ns=2;s=a;b=c");
        check("nsu=urn:plc;i=1004", None, "nsu=urn:plc;i=1004");
        check("nsu=http://x/%3By%25;i=1", None, "nsu=http://x/;y%;i=1");
        check("s=Main.Energy", Some("urn:plc"), "nsu=urn:plc;s=Main.Energy");
        check("i=2258", None, "ns=0;i=2258");
    }

    #[test]
    fn refuses_what_is_no_node_id() {
        for text in [
            "",
            "ns=2",
            "ns=x;s=a",
            "ns=70000;i=1",
            "Main.Energy",
            "ns=2;i=ten",
            "é",
            "nsu=;i=1",
            "s=",
        ] {
            assert!(NodeAddress::parse(text, None).is_err(), "{text}");
        }
    }

    #[test]
    fn looks_namespaces_up() {
        let mut namespaces = NamespaceMap::new();
        let index = namespaces.add_namespace("urn:plc");
        let address = NodeAddress::parse("s=E", Some("urn:plc")).unwrap();
        assert_eq!(address.resolve(&namespaces), Some(NodeId::new(index, "E")));
        let address = NodeAddress::parse("s=E", Some("urn:gone")).unwrap();
        assert_eq!(address.resolve(&namespaces), None);
    }
}
