module evenkeel.dev/tests/cluster/tools/demo

go 1.26
