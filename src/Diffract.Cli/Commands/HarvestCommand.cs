using System.CommandLine;
using Diffract.Activations;
using Diffract.Runs;

namespace Diffract.Cli.Commands;

/// <summary><c>diffract harvest</c>: the activations of both models over a run's tokens.</summary>
static class HarvestCommand
{
    public static Command Create()
    {
        Command command = new("harvest", "Runs both models over the tokens of a run and stores the residual after one block. Stopped, it goes on with the next shard when called again.");
        Argument<string> run = new("run") { Description = "Run folder with tokens." };
        Option<LayerPair?> layer = LayerOption.Of("Block, from 0, whose output is stored. Default: half the blocks, rounded down.");
        Option<string> storage = new("--storage") { Description = "How activations are stored: bf16, f32, or int8 (8 bits with a scale for each token and model; what that loses is measured and printed).", DefaultValueFactory = _ => "bf16" };
        Option<bool> fresh = new("--fresh") { Description = "Throw away the activations of this layer that are there." };
        Option<int> shardTokens = new("--shard-tokens")
        {
            Description = "A shard, which is what a stopped harvest loses at most and what a task makes at a time, ends before the document that would exceed so many tokens.",
            DefaultValueFactory = _ => new HarvestSettings().ShardTokens,
        };
        (Option<int?> task, Option<int?> of) = CommonOptions.Share("shards");
        Option<double?> memory = CommonOptions.Memory();
        command.Arguments.Add(run);
        foreach (Option option in (Option[])[layer, storage, shardTokens, task, of, fresh, memory])
        {
            command.Options.Add(option);
        }

        new CommonOptions().Run(command, (parse, backend, progress, stop) => HarvestStage.Run(
            new StageContext(RunFolder.Open(parse.GetValue(run)!), backend, progress, parse.GetValue(fresh), stop) { Memory = MemoryBudget.Of(parse.GetValue(memory)) },
            new HarvestSettings
            {
                Layer = parse.GetValue(layer),
                ShardTokens = parse.GetValue(shardTokens),
                Share = TaskShare.Parse(parse.GetValue(task), parse.GetValue(of)),
                Storage = StorageKinds.Parse(parse.GetValue(storage)!),
            }));
        return command;
    }
}
