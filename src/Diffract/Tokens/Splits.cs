namespace Diffract.Tokens;

/// <summary>Which split a document belongs to: a seeded hash of its number, so that no document's split depends on the others.</summary>
static class Splits
{
    public static Split Of(int seed, int number, double trainShare, double scalingShare)
    {
        double u = SeededHash.Unit(SeededHash.Of((ulong)seed, (ulong)number));
        return u < trainShare ? Split.Train : u < trainShare + scalingShare ? Split.Scaling : Split.HeldOut;
    }
}
