"""What can be said of a run beside its model, its data and its trainer."""

from __future__ import annotations

__all__ = ["OPTIONS", "RUN_OPTIONS", "TRAINER"]

OPTIONS = {
    "seed_everything": "Seed of weights, order and noise; default 0.",
    "ckpt_path": "Continue from this checkpoint, or from the newest run of the recipe: last.",
    "from": "Begin with the weights of a published model, a run's folder or an address, as far as "
    "they fit.",
    "run_root": "Folder of all runs; default runs/.",
    "name": "Name of the run; default: the recipe's.",
    "wandb": "Weights & Biases: auto (online if you are logged in, else offline), online, offline "
    "or off.",
    "log_checkpoints": "Send the checkpoints to W&B at the end (true or false).",
    "pictures_every": "Epochs between pictures and scores; default 1.",
    "save_every": "Batches between checkpoints, besides one at the end; default: half a minute's "
    "worth.",
    "monitor": "Logged quantity whose best checkpoint is kept, as the log prints it, such as "
    "code_error, or as metrics.csv has it.",
    "monitor_mode": "Whether min or max of it is best; default min.",
    "evaluate": "Score the model on test images at the end (true or false); default true.",
    "silence_limit": "Seconds that a process of the run waits for the others before all of it "
    "ends; default 600.",
}
RUN_OPTIONS = tuple(sorted(OPTIONS.keys() - {"seed_everything"}))
TRAINER = {
    "max_epochs": "Passes over the data.",
    "max_steps": "Batches, instead of epochs.",
    "precision": "32-true, bf16-mixed, ...; default: what the model and the device do best.",
    "accelerator": "cpu, gpu or auto.",
    "devices": "Processes, each on its own device; several share every batch (DDP).",
    "num_nodes": "Machines.",
    "log_every_n_steps": "Batches between rows of metrics.csv.",
    "gradient_clip_val": "Largest norm of a player's gradients.",
    "limit_train_batches": "Use only so many batches of an epoch, for a trial.",
    "enable_progress_bar": "false: say nothing while training.",
}
