"""Converting: a module made depthwise-separable, weights included, by a plan of what to convert.

`convert` is where it begins. It has a target made into a module with values (`loading`), finds its
convolutions (`surveying`), and sees what the model does with them besides (`rehearsing`, by
`stand_ins`). What is done to each is decided by a plan, at one rank or for a goal (`deciding`; how
that is spelled is in `decisions`): of the ways to treat it (`options`), in either order of its two
stages, those of least error are chosen (`choosing`, by a `knapsack`).
Then the model is copied with other convolutions (`applying`), whose weights are those nearest to
what they stand for (`decomposing`) or to what they are given (`calibrating`); a time that was
promised is held against the clock (`proving`, by `layer_times`); on calibration inputs the whole is
`recovering` what it lost; and what came of it is said
(`outcomes`, `reporting`, in the records of `results`). It is saved as weights, as a program or ONNX
(`saving`, `exporting`), or as code that makes it (`coding`, of layers in `layer_code` and of
`code_parts`; tried by `trying_code`).

An ONNX file goes the same way without torch (`graph_loading`, `graph_sites`): its nodes are
replaced (`graph_rewriting`), and the result is run beside what it was (`graph_checking`). What both
ways have in common does not ask what is converted; they part in `of_modules` and `of_graphs`.

Any layer or model is written as ONNX as it is, too (`writing`).

One convolution is a `Site`, may become one of several `Option`s, and ends as a `LayerOutcome`.
"""
