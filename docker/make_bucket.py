"""Make the bucket PAGEFLIP_BUCKET where AWS_ENDPOINT_URL points to; one that is there already stays as it is."""

import os

import boto3


def main() -> None:
    """Make the bucket and say whether it was there."""
    client = boto3.client("s3")
    bucket = os.environ["PAGEFLIP_BUCKET"]
    try:
        client.create_bucket(Bucket=bucket)
    except (client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
        print(f"{bucket} is there")
    else:
        print(f"{bucket} made")


if __name__ == "__main__":
    main()
