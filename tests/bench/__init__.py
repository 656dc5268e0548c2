"""Floors and the product measured in one run; `make bench` prints `name | floor | ours | ratio | goal`."""
