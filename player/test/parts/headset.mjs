export async function headset() {}
