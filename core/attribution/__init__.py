"""Attribution methods: what of an image a network's answer depends on (saliency maps)."""
