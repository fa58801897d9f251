module connector

go 1.22
