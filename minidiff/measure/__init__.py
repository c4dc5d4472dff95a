"""How good is it? Distances and likelihoods (metrics), features of pictures (features, classifier), what is said of a
model's samples (report), what a net costs and sees (nets), whether model or sampler is broken (doctor). Imports the
core, nets and data; stages, run and demo may use it."""
