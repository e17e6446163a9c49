"""The functions of the three tasks look alike: who knows one knows all."""

import inspect

import pytest

from keras_mambaout import classification, detection, segmentation

pytestmark = pytest.mark.no_backend

INFERENCE = [classification.classify, detection.detect, segmentation.segment]
EVALUATION = [classification.evaluate_classifier, detection.evaluate_detector, segmentation.evaluate_segmenter]


def shared_parameters(functions):
    """Returns what more than one of the functions takes, in the order of each."""
    names = [list(inspect.signature(function).parameters) for function in functions]
    return [[name for name in own if sum(name in others for others in names) > 1] for own in names]


@pytest.mark.parametrize(("functions", "first"), [(INFERENCE, "photos"), (EVALUATION, "dataset")])
def test_signatures(functions, first):
    """The model comes first, then what it looks at; what is shared comes in one order, and all is annotated."""
    for function in functions:
        parameters = inspect.signature(function).parameters
        assert list(parameters)[:2] == ["model", first] and "batch_size" in parameters
        assert all(one.annotation is not one.empty for one in parameters.values())
        assert inspect.signature(function).return_annotation is not inspect.Signature.empty
    order = {name: place for own in shared_parameters(functions) for place, name in enumerate(own)}
    assert all(own == sorted(own, key=order.get) for own in shared_parameters(functions))


def test_evaluation_ends_with_verbose():
    for function in EVALUATION:
        parameters = inspect.signature(function).parameters
        assert list(parameters)[2] == "batch_size" and list(parameters)[-1] == "verbose"
        assert parameters["verbose"].default == "auto"


@pytest.mark.parametrize(("infer", "evaluate"), list(zip(INFERENCE, EVALUATION, strict=True)))
def test_sizes_have_the_same_defaults_in_inference_and_evaluation(infer, evaluate):
    one, other = (inspect.signature(function).parameters for function in (infer, evaluate))
    for name in {"batch_size", "crop_pct", "crop_mode", "crop_size", "stride", "shortest_edge", "longest_edge"}:
        if name in one and name in other:
            assert one[name].default == other[name].default, name


@pytest.mark.parametrize("package", [classification, detection, segmentation])
def test_everything_public_is_there(package):
    assert len(package.__all__) == len(set(package.__all__)) and all(hasattr(package, name) for name in package.__all__)
    modules = {name for name, value in vars(package).items() if inspect.ismodule(value)}
    assert not modules & set(package.__all__), "no module has the name of a function"
