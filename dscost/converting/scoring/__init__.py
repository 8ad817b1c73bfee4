"""Scoring: layers judged by what a user's function says of the model, not by their kernel errors.

A kernel error is no accuracy, and does not even rank layers. So a function of the user's is called
with models (`calling`), each converted by one plan, as often as a budget allows (`asking`), and
what it says is kept in a journal as it comes (`journal`, `evaluating`). First every layer is
converted alone, at a few ranks and orders (`sweeping`): how sure the loss is that was measured is
worked out in `losses`, what it means for the ranks that were not tried in `estimating`. Then a
whole plan is chosen by those losses, tried, and corrected as long as there is budget left
(`searching`, all of it in `deciding`). What came of it is in the records of `results`.

A torch model is converted for a try by `of_modules`, an ONNX file by `of_graphs`; what a model
takes that does not say so is seen where the function calls it (`watching`).
"""
