"""`keras-mambaout push`: a model to the Hugging Face hub."""

import argparse
import json

from keras_mambaout.commands import values
from keras_mambaout.files import read_text
from keras_mambaout.models.saved import load_model
from keras_mambaout.share import push_to_hub, save_for_hub

HELP = "upload a model to the Hugging Face hub, with a model card"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.add_argument("--model", required=True, metavar="FILE", help=".keras file, or hf://user/repo")
    parser.add_argument("--repo", required=True, metavar="USER/REPO", help="made if it does not exist")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--revision", metavar="BRANCH", help="branch to commit to (default: the main branch)")
    parser.add_argument("--message", metavar="TEXT", help="of the commit")
    parser.add_argument("--license", default="apache-2.0", help="of the weights (default: %(default)s)")
    parser.add_argument("--dataset", metavar="NAME", help="what it was trained on, such as imagenet-1k")
    parser.add_argument("--metrics", metavar="FILE", help="JSON file, as evaluate --json prints it, for the model card")
    parser.add_argument("--overwrite-card", action="store_true", help="replace a README.md that is there")
    parser.add_argument(
        "--output",
        type=values.output_folder,
        metavar="FOLDER",
        help="write what would be uploaded into this folder, and stop",
    )


def run(args: argparse.Namespace) -> None:
    """Prints the URL of the repository, or the folder."""
    for_upload = {"--private": args.private, "--revision": args.revision, "--message": args.message}
    for_upload["--overwrite-card"] = args.overwrite_card
    if args.output is not None and any(for_upload.values()):
        given = ", ".join(flag for flag, value in for_upload.items() if value)
        raise ValueError(f"{given}: for an upload, and with --output nothing is uploaded. Leave one of them out.")
    about = {"license": args.license, "dataset": args.dataset, "metrics": _read_metrics(args.metrics)}
    model = load_model(args.model)
    if args.output is not None:
        print(save_for_hub(model, args.output, args.repo, **about))
        return
    message = {} if args.message is None else {"commit_message": args.message}
    print(
        push_to_hub(
            model,
            args.repo,
            private=args.private or None,
            revision=args.revision,
            overwrite_card=args.overwrite_card,
            **message,
            **about,
        )
    )


def _read_metrics(path):
    if path is None:
        return None
    try:
        return json.loads(read_text(path))
    except (OSError, ValueError) as error:
        raise ValueError(f"--metrics {path!r} is no JSON file, as evaluate --json prints it: {error}") from error
