"""Recovering: what a model lost when it was converted, won back on inputs without labels.

A converted layer has the weights nearest to those that it stands for, whatever it sees. On inputs
more is known: what the original model returned at every layer. So layer by layer, in the order in
which they run, the pointwise weights are refitted by least squares: their input is what the layer
sees in the converted model so far, the errors of those before it included, their target what the
original layer returned in the original model on the same inputs. Then the normalisations are given
the statistics of what they see now. Each is a step (`stepping`), held against what the model was:
by a score as far as that can tell, else by the error of its outputs (`outputs`); one that loses is
undone. What each gained is said in `records`.

`least_squares` solves it from sums, and `fitting` sets those up for either order of the stages,
by numpy alone, for layers that share weights at once (`groups`); `moments` are what normalisations
are given. `of_modules` recovers a model of torch: its copies run (`running`), their calls are
counted (`seen`), layers are made numbers and changed (`torch_layers`, `refitting`), statistics
taken (`normalising`). `of_graphs` does the same of an ONNX model without torch (`graph_running`,
`graph_layers`, `graph_refitting`, `graph_normalising`).

What it is all done on is read by `inputs`: `images` of a folder, `arrays` of a file, or what code
gives; `counting` knows how many that are. `torch_inputs` and `graph_inputs` make of it what a model
takes. A conversion knows just `calibrated_modules` or `calibrated_graphs`.
"""
