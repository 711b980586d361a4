module evenkeel.dev/tests/cluster/tools/registry

go 1.26
