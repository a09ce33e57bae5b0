use hansa_ledger_store::*;
use std::time::Instant;
fn main(){
 for kib in [4usize,300]{
 let d=tempfile::tempdir().unwrap();
 let s=SledStore::open(&d.path().join("s"),OpenOptions{create_new:true,..Default::default()}).unwrap();
 let (mut p,mut c)=(vec![],vec![]);
 for h in 1..=400u64{
  let id=*blake3::hash(&h.to_le_bytes()).as_bytes();
  let mut b=vec![0;kib*1000]; blake3::Hasher::new().update(&h.to_le_bytes()).finalize_xof().fill(&mut b);
  let t=Instant::now(); s.put_body_and_undecided(h,0,&id,&b,&id).unwrap(); p.push(t.elapsed().as_micros());
  let t=Instant::now(); s.commit(&Commit{height:h,block:id,root:id,certificate:&[1;400],checkpoint:None}).unwrap(); c.push(t.elapsed().as_micros());
  s.prune_undecided_to(h).unwrap();
 }
 p.sort();c.sort();
 println!("{kib} kB: put p50 {} p99 {} us; commit p50 {} p99 {} us",p[200],p[396],c[200],c[396]);
 let rows=(0..28000u64).map(|i|((0,i.to_be_bytes().to_vec()),Some(vec![i as u8;150]))).collect();
 let id=*blake3::hash(&400u64.to_le_bytes()).as_bytes();
 let t=Instant::now(); s.checkpoint(&Checkpoint{height:400,root:id,protocol_version:1,rows}).unwrap(); println!("checkpoint 28000x150B {:?}",t.elapsed());
 let t=Instant::now(); let mut n=0; s.rows(&mut |_,_,_|{n+=1;Ok(())}).unwrap(); println!("rows {n} {:?}",t.elapsed());
 drop(s); println!("disk {}", String::from_utf8(std::process::Command::new("du").arg("-sm").arg(d.path()).output().unwrap().stdout).unwrap());
 let t=Instant::now(); let _s=SledStore::open(&d.path().join("s"),OpenOptions::default()).unwrap(); println!("reopen {:?}",t.elapsed());
 }}
