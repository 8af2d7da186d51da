using System.CommandLine;
using Diffract.Evidence;
using Diffract.Latents;
using Diffract.Runs;

namespace Diffract.Cli.Commands;

/// <summary><c>diffract evidence</c>: examples, behaviours and interventions of a run's crosscoder.</summary>
static class EvidenceCommand
{
    public static Command Create()
    {
        EvidenceSettings defaults = new() { Name = "" };
        Command command = new("evidence", """
            Gathers the evidence on a crosscoder of a run: examples and template shares of its most chat-specific latents, the behaviours they track, and what editing them does to the chat
            model's predictions on held-out chats. Needs `tokenize`, `train`, `latents` and `scale`.

            Loose files: see `diffract intervene --help`.
            """);
        Argument<string> run = new("run") { Description = "Run folder." };
        Option<string?> name = new("--name") { Description = "Which crosscoder. Default: the only one of the run, else batchtopk." };
        Option<LayerPair?> layer = LayerOption.Of("Choose the crosscoder of this layer. Default: the crosscoder's own.");
        Option<int> conversations = new("--conversations") { Description = "Held-out chats on which edits are measured.", DefaultValueFactory = _ => defaults.Conversations };
        Option<int> seed = new("--seed") { Description = "Decides chats, halves, shuffles, controls and resamples.", DefaultValueFactory = _ => defaults.Seed };
        Option<int> resamples = new("--resamples") { Description = "Bootstrap resamples behind every interval.", DefaultValueFactory = _ => defaults.Resamples };
        Option<int> shuffles = new("--shuffles") { Description = "Shuffles of the labels.", DefaultValueFactory = _ => defaults.Shuffles };
        Option<int> latents = new("--latents") { Description = "Most chat-specific latents that get examples; chat-only ones follow, 100 in all.", DefaultValueFactory = _ => defaults.ShownLatents };
        Option<int> window = new("--window") { Description = "Tokens of an example.", DefaultValueFactory = _ => defaults.Window };
        Option<bool> unset = new("--allow-unset-threshold") { Description = "Run a BatchTopK crosscoder that has no threshold yet, with every positive latent active. Default: refuse." };
        Option<bool> fresh = new("--fresh") { Description = "Replace evidence that is there. Default: keep it." };
        Option<int> unit = new("--unit-conversations")
        {
            Description = "Chats whose edits are published together: what a stopped call measures again at most, and what a task makes at a time. Changes no result.",
            DefaultValueFactory = _ => defaults.UnitConversations,
        };
        (Option<int?> task, Option<int?> of) = CommonOptions.Share("units of chats");
        Option<double?> memory = CommonOptions.Memory();
        command.Arguments.Add(run);
        foreach (Option option in (Option[])[name, layer, conversations, seed, resamples, shuffles, latents, window, unit, task, of, unset, fresh, memory])
        {
            command.Options.Add(option);
        }

        new CommonOptions().Run(command, (parse, backend, progress, stop) =>
        {
            RunFolder folder = RunFolder.Open(parse.GetValue(run)!);
            EvidenceStage.Run(new StageContext(folder, backend, progress, parse.GetValue(fresh), stop) { Memory = MemoryBudget.Of(parse.GetValue(memory)) }, defaults with
            {
                Name = ScanInputs.Choose(folder, parse.GetValue(name), parse.GetValue(layer)),
                Conversations = parse.GetValue(conversations),
                Seed = parse.GetValue(seed),
                Resamples = parse.GetValue(resamples),
                Shuffles = parse.GetValue(shuffles),
                ShownLatents = parse.GetValue(latents),
                Window = parse.GetValue(window),
                UnitConversations = parse.GetValue(unit),
                Share = TaskShare.Parse(parse.GetValue(task), parse.GetValue(of)),
                AllowUnsetThreshold = parse.GetValue(unset),
            });
        });
        return command;
    }
}
