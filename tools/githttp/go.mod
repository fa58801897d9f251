module tools/githttp

go 1.26.0
