using System.IO.Hashing;
using Diffract.Runs;

namespace Diffract.Formats;

/// <summary>One number that changes when a checkpoint does.</summary>
public static class CheckpointSeal
{
    /// <summary>XXH128, in hexadecimal, over the bytes of <c>config.json</c> and then of the weight files in the order of their names.</summary>
    public static string Of(string folder)
    {
        XxHash128 hash = new();
        foreach (string path in CheckpointFiles.Weights(folder).Prepend(CheckpointFiles.Config(folder)))
        {
            try
            {
                using FileStream file = new(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 20, FileOptions.SequentialScan);
                hash.Append(file);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw new DiffractException($"cannot read {path}: {e.Message}", inner: e);
            }
        }

        return Convert.ToHexStringLower(hash.GetCurrentHash());
    }
}
