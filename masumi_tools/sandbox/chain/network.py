"""What is fixed about the network: the contracts that the node serves (protocol N13)."""

from __future__ import annotations

from .rows import V1, V2

NETWORK = "Preprod"
NETWORKS = ("Preprod", "Mainnet")
SOURCE_TYPES = (V1, V2)

POLICIES = {
    V1: "7e8bdaf2b2b919a3a4b94002cafb50086c0c845fe535d07a77ab7f77",
    V2: "67ab0c92c4ac1610895a1c965ee50aba41a8f1513b15240723b3bd0b",
}
CONTRACTS = {
    V1: "addr_test1wz7j4kmg2cs7yf92uat3ed4a3u97kr7axxr4avaz0lhwdsqukgwfm",
    V2: "addr_test1wzs4e6wc95hkwezlccjw9mdvq0r0rsgx6zk34avptga3ftgn37w4g",
}
ADMINS = (
    "addr_test1qr7pdg0u7vy6a5p7cx9my9m0t63f4n48pwmez30t4laguawge7xugp6m5qgr6nnp6wazurtagjva8l9fc3a5a4scx0rq2ymhl3",
    "addr_test1qplhs9snd92fmr3tzw87uujvn7nqd4ss0fn8yz7mf3y2mf3a3806uqngr7hvksqvtkmetcjcluu6xeguagwyaxevdhmsuycl5a",
    "addr_test1qzy7a702snswullyjg06j04jsulldc6yw0m4r4w49jm44f30pgqg0ez34lrdj7dy7ndp2lgv8e35e6jzazun8gekdlsq99mm6w",
)
FEE_RECEIVERS = {
    V1: "addr_test1qqfuahzn3rpnlah2ctcdjxdfl4230ygdar00qxc32guetexyg7nun6hggw9g2gpnayzf22sksr0aq"
    "dgkdcvqpc2stwtqt4u496",
    V2: None,
}
FEES_PERMILLE = {V1: 50, V2: 0}
COOLDOWN_MS = 420_000
TUSDM = "16a55b2a349361ff88c03788f93e1e966e5d689605d044fef722ddde0014df10745553444d"
