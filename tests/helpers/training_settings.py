"""What tests/fixtures/make_timm_training.py and tests/classification/test_recipe.py have in common."""

PAPER_STEPS_PER_EPOCH = 312  # ImageNet's 1,281,167 images in batches of 4096
SCHEDULE_STEPS = [0, 1, 100, 3000, 6239, 6240, 6241, 9000, 15000, 20000, 30000, 40000, 46800, 50000, 60000, 70000]
SCHEDULE_STEPS += [80000, 90000, 93599, 93600]  # 20 points: warm-up until 6240, the end at 93600

TEN_STEPS = {
    "steps": 10,
    "batch": 4,
    "side": 64,
    "peak": 1e-3,
    "start": 1e-6,
    "end": 1e-5,
    "warmup": 3,
    "weight_decay": 0.05,
    "smoothing": 0.1,
}
