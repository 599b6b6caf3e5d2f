"""What is fast enough, as ratios measured in one run: never as seconds of some machine."""
