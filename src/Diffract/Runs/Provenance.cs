using System.Reflection;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Diffract.Runs;

/// <summary>Each artefact names what it was made from; what is missing, stale or foreign is refused with the verb that mends it.</summary>
public static class Provenance
{
    public static string Version { get; } = typeof(Provenance).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "0";

    /// <summary>How manifests are written: indented, camel case, NaN allowed.</summary>
    public static JsonSerializerOptions Json { get; } = new()
    {
        WriteIndented = true,
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
        Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    /// <summary>The same on one line, for messages.</summary>
    public static JsonSerializerOptions Line { get; } = new(Json) { WriteIndented = false };

    /// <summary>
    /// The manifest of an input stage. Refuses it when it is missing, when a file it lists is gone or has another length, or when it was itself made from something that has changed since.
    /// </summary>
    /// <param name="run">The run.</param>
    /// <param name="folder">Absolute path of the input stage's folder.</param>
    /// <param name="makeIt">The command that makes it, for the message.</param>
    /// <param name="thorough">Also recompute the checksum of every file (else lengths only).</param>
    public static StageManifest Require(RunFolder run, string folder, string makeIt, bool thorough = false)
    {
        string name = run.Relative(folder);
        StageManifest manifest = StageManifest.TryLoad(folder)
            ?? throw new DiffractException(UnitFolder.Unfinished(folder, makeIt) is { } how ? $"{name} is unfinished in {run.Root}: {how}" : $"{name} is missing or unfinished in {run.Root}; run `{makeIt}` first");
        CheckOutputs(name, folder, manifest, makeIt, thorough);
        foreach ((string input, string print) in manifest.Inputs)
        {
            StageManifest? upstream = StageManifest.TryLoad(Path.Combine(run.Root, input));
            if (upstream is null || upstream.Fingerprint() != print)
            {
                throw new DiffractException($"{name} is stale: {input} has been made anew since; run `{makeIt} --fresh`");
            }
        }

        return manifest;
    }

    /// <summary>Refuses a stage folder of which a file is gone or has another length than its manifest says.</summary>
    /// <param name="name">What to call the folder.</param>
    /// <param name="folder">Absolute path.</param>
    /// <param name="manifest">Its manifest.</param>
    /// <param name="makeIt">The command that makes it, for the message.</param>
    /// <param name="thorough">Also recompute the checksum of every file.</param>
    public static void CheckOutputs(string name, string folder, StageManifest manifest, string makeIt, bool thorough = false)
    {
        foreach ((string file, FileSeal seal) in manifest.Outputs)
        {
            string path = Path.Combine(folder, file);
            FileInfo info = new(path);
            if (!info.Exists)
            {
                throw new DiffractException($"{name}/{file} is gone, its manifest lists {seal.Bytes} bytes; run `{makeIt} --fresh`");
            }

            if (info.Length != seal.Bytes)
            {
                throw new DiffractException($"{name}/{file} has {info.Length} bytes, its manifest says {seal.Bytes}: truncated or changed; run `{makeIt} --fresh`");
            }

            if (thorough && AtomicFile.Seal(path) != seal)
            {
                throw new DiffractException($"{name}/{file} does not match its checksum: changed or damaged; run `{makeIt} --fresh`");
            }
        }
    }
}
