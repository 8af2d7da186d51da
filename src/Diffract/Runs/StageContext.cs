using System.Text.Json.Nodes;
using Diffract.Compute.Kernels;

namespace Diffract.Runs;

/// <summary>What every stage gets beside its own settings.</summary>
/// <param name="Run">The run folder it reads from and writes to.</param>
/// <param name="Backend">Where kernels run.</param>
/// <param name="Progress">Who listens.</param>
/// <param name="Stop">Set by Ctrl-C: the stage stops at the next safe point with <see cref="OperationCanceledException"/>, and can be called again.</param>
/// <param name="Fresh">Throw away what the stage made before.</param>
public sealed record StageContext(RunFolder Run, IBackend Backend, IProgressSink Progress, bool Fresh = false, CancellationToken Stop = default)
{
    const string PlanFile = "plan.json";

    /// <summary>What the stage may take.</summary>
    public MemoryBudget Memory { get; init; } = MemoryBudget.Available();

    /// <summary>
    /// Prepares a stage folder. True: it is there, finished, with equal settings and inputs, and nothing is to be done. False: work (or go on working) in the folder.
    /// A finished or unfinished folder made with other settings or inputs is refused unless <see cref="Fresh"/>.
    /// </summary>
    /// <param name="folder">Absolute path.</param>
    /// <param name="plan">Stage, settings and inputs as they are going to be written; kept as <c>plan.json</c> until the manifest is there. Of several tasks that begin at once one writes it.</param>
    /// <param name="share">What this process makes of the stage; null: everything.</param>
    public bool AlreadyDone(string folder, StageManifest plan, TaskShare? share = null)
    {
        string planPath = Path.Combine(folder, PlanFile);
        string wanted = Describe(plan);
        if (Fresh && share is not null)
        {
            throw DiffractException.Argument($"--fresh with {share} would throw away what the other tasks have published; call `diffract {plan.Stage} {Run.Root} --fresh` once without --task, or remove {Run.Relative(folder)} first");
        }

        if (Fresh && Directory.Exists(folder))
        {
            Directory.Delete(folder, recursive: true);
        }

        Directory.CreateDirectory(folder);
        while (true)
        {
            StageManifest? made = StageManifest.TryLoad(folder);
            string? before = made is not null ? Describe(made) : TryRead(planPath);
            if (before is not null && before != wanted)
            {
                throw new DiffractException(
                    $"{Run.Relative(folder)} was made with other settings or inputs ({Difference(before, wanted)}); use --fresh to replace it, or another {(folder == Run.Crosscoder(Path.GetFileName(folder)) ? "--name" : "run folder")}");
            }

            if (made is not null)
            {
                Provenance.CheckOutputs(Run.Relative(folder), folder, made, $"diffract {made.Stage} {Run.Root}");
                File.Delete(planPath);
                UnitFolder.Clean(folder);
                return true;
            }

            if (before is not null)
            {
                return false;
            }

            // Another may be first; the next round compares.
            ExclusiveFile.TryWriteText(planPath, wanted);
        }
    }

    /// <summary>The settings that a stage folder was made with, or was begun with; null when there is neither.</summary>
    public static JsonObject? SettingsOf(string folder)
    {
        string planPath = Path.Combine(folder, PlanFile);
        return StageManifest.TryLoad(folder)?.Settings
            ?? (TryRead(planPath) is { } plan ? JsonNode.Parse(plan.Split('\n')[1])!.AsObject() : null);
    }

    /// <summary>Writes the manifest that closes a stage.</summary>
    public void Finish(string folder, StageManifest manifest)
    {
        (manifest with { Backend = Backend.Description }).Save(folder);
        File.Delete(Path.Combine(folder, PlanFile));
    }

    /// <summary>The same where several processes may close the stage at once: false where another was first.</summary>
    public bool Finish(UnitFolder units, string folder, StageManifest manifest)
    {
        bool first = units.Close(manifest with { Backend = Backend.Description });
        File.Delete(Path.Combine(folder, PlanFile));
        return first;
    }

    static string? TryRead(string path)
    {
        try
        {
            return File.ReadAllText(path);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
    }

    static string Describe(StageManifest manifest)
        => manifest.Stage + "\n" + manifest.Settings.ToJsonString() + "\n"
            + string.Join("\n", manifest.Inputs.OrderBy(p => p.Key, StringComparer.Ordinal).Select(p => p.Key + " " + p.Value));

    static string Difference(string before, string wanted) => SettingsDifference.Of(Fields(before), Fields(wanted));

    /// <summary>Settings and inputs as one object.</summary>
    static JsonObject Fields(string description)
    {
        string[] lines = description.Split('\n');
        JsonObject fields = JsonNode.Parse(lines[1])!.AsObject();
        foreach (string input in lines[2..])
        {
            int space = input.LastIndexOf(' ');
            if (space > 0)
            {
                fields[input[..space]] = input[(space + 1)..];
            }
        }

        return fields;
    }
}
